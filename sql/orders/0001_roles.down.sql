REVOKE ALL ON schema_migrations FROM orders_writer, orders_relay, pipeline_monitor;
REVOKE ALL ON SCHEMA public FROM orders_owner, orders_writer, orders_relay, pipeline_monitor;
GRANT USAGE ON SCHEMA public TO PUBLIC;
