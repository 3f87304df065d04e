"""Ways to people by kind: a module each, with ``build(url, secret)``."""
