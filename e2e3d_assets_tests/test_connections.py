"""Connections that are kept. That runs keep theirs to Postgres is looked at in ``integration/test_production.py``."""

import sqlalchemy

from e2e3d_assets.connections import keep_connections


def test_a_kept_connection_that_died_is_replaced(instance, tmp_path):
    """Prevents a restart of the database from failing every run that was at work."""
    keep_connections(instance)
    pool = sqlalchemy.QueuePool
    engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path / 'database'}", poolclass=pool, pool_size=1)
    with engine.connect() as first:
        kept = first.connection.dbapi_connection
    kept.close()
    with engine.connect() as second:
        assert second.scalar(sqlalchemy.text("SELECT 1")) == 1
