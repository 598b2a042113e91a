"""Flows of finite networks."""
