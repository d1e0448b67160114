"""Load with one verdict for every request: what a user waits for, whatever the server does."""
