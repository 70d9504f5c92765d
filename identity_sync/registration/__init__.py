"""Registration with ScaiKey: one request, one approval, and credentials that are issued once.

`register` goes through the modules in this order:

1. `answers` collects the details of the request from flags and prompts.
2. `register` sends the request; `receipt` saves it in the home directory and in the database.
3. `poll` asks ScaiKey for the decision; `response_file` records the response as it arrives.
4. `credentials` saves the credentials, installs them in the configuration file and verifies it,
   before the installation if it replaces other credentials.

`cancel` withdraws a request that is still pending. `redirects` compares the redirect URI for
signing in with the one that is registered.
"""
