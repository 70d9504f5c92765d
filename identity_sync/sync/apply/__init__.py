"""Write the plan, in the transaction of the caller."""
