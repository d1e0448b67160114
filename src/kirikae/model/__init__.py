"""The nouns of kirikae and the rules that several rooms share: frozen values, no input or
output."""
