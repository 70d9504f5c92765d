"""Walk ScaiKey's lists, and look single records up, into temporary tables."""
