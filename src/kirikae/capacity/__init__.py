"""How many tasks a service needs: scaling rules tried on its own trace before AWS acts by them."""
