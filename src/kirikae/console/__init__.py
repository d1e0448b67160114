"""How people see and command kirikae: the command line."""
