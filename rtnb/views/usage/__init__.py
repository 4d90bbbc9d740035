"""Tokens, money and limits: by turn, in sum, over turns."""
