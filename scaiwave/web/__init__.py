"""HTTP: the form of answers, streaming, headers, sign-in limits and ScaiKey's sign-in."""
