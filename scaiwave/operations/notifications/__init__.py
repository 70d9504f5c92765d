"""Report problems by e-mail: what is to be told (`news`), and how it is sent (`mail`)."""
