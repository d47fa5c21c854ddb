"""Times to an event from a table: Cox's model, a score by LASSO, Kaplan and Meier's curves; a score of one cohort applied to another."""
