"""What a person or a notebook touches."""
