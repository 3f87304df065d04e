"""Notification channels, one module per kind with ``build(url, secret)``."""
