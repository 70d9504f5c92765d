"""Report problems by e-mail: which e-mails are due (`news`), and how one is sent (`mail`)."""
