"""PostgreSQL: one database for several servers."""
