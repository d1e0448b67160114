"""Workers: consumers of a queue move one by one, from units on hosts to tasks of a service."""
