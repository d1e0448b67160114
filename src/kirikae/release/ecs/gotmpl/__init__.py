"""The part of Go's ``text/template`` that definition files use.

The language is the one of https://pkg.go.dev/text/template; templates of ecspresso's users are read
as they are.
"""
