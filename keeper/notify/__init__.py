"""Routing, wording and delivery of notices."""
