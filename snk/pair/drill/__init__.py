"""The drill: a pair under load, one fault after another, and books that show whether a row was lost or duplicated."""
