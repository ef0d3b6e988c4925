"""The command line. ``main`` holds the list of commands; each command's module is imported only when it is called."""
