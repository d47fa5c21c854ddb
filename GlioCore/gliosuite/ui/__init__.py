"""The only room that imports qt and ctk."""
