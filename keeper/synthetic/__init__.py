"""Package: books of made-up accounts, as large as one likes, without a chain."""
