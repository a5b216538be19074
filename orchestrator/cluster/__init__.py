"""Ray: what every node is asked before a run, and what runs trials on them."""
