"""The commands, declared: names, options and help, and nothing else.

Each imports what it needs when it is called, so that help and mistakes cost nothing.
"""
