"""A local PostgreSQL server, as the tests and whoever wants the journal on one at home need it."""
