"""The command line of g3d: one small file per command; it parses, calls the step of the same name, prints, exits."""
