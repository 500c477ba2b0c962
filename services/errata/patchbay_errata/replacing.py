"""SQL that makes a table of conclusions equal to a query, and writes only what differs."""


def replacing(table: str, key: str, values: tuple[str, ...], wanted: str) -> str:
    """One statement for a table with one `key`; `wanted` is SQL that gives the key and the `values` of every row."""
    columns = ", ".join((key, *values))
    new = ", ".join(f"{each} = EXCLUDED.{each}" for each in values)
    compared = ", ".join(f"{table}.{each}" for each in values), ", ".join(f"EXCLUDED.{each}" for each in values)
    return f"""
        WITH wanted AS MATERIALIZED ({wanted}), gone AS (
            DELETE FROM {table} t WHERE NOT EXISTS (SELECT FROM wanted WHERE wanted.{key} = t.{key})
        )
        INSERT INTO {table} ({columns}) SELECT {columns} FROM wanted ORDER BY {key}
        ON CONFLICT ({key}) DO UPDATE SET {new} WHERE ({compared[0]}) IS DISTINCT FROM ({compared[1]})
    """
