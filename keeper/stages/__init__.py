"""Stages of a node's block besides planning, behind ports."""
