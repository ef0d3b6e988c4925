"""Traceable medical image translation."""
