"""What a sweep file says, read strictly: its YAML, its sections, and where each value came from."""
