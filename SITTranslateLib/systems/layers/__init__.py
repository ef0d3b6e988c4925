"""Layers that the cross-contrast systems share; 2D and 2.5D networks are 2D convolutions, 3D ones are 3D."""
