"""Migrations of the schema, one module per step."""
