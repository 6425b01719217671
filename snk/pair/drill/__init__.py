"""The drill: a pair under load, one fault after another, and books that tell whether a row was lost or doubled."""
