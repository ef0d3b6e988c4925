"""A result in a local web page: Slicer's own views, linked, with the controls of the module's panel.

``shown`` holds the result and what is done to it (scene and model host, as the module does; no web), ``panes`` the
views, ``page`` the page, ``access`` who may see it, ``serving`` the server. The last four need trame-slicer.
"""
