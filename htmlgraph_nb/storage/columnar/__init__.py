"""Event history as Arrow tables: sealed segments and scans."""
