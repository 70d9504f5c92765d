"""Publishing the documentation to ScaiCMS. Needs no app and no database.

`publish` runs the steps: `pages` reads the files (`front_matter`, `markdown`), `links` checks and
rewrites their links, `plan` compares them with the live pages, `executor` sends the requests,
`index_page` keeps the list of published pages, and `report` summarises the result.
"""
