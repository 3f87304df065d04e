"""A keeper at work on the local chain, from the first price step to the audited books."""
