"""Slicer's own scene, logics and displayable managers without the application: for tests, reports and the demo."""
