"""Whatever a deploy will need is asked for before it starts: ecspresso's checks, and those that it
lacks."""
