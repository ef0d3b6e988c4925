"""Recipes of networks that are trained."""
