-- The roles of the pipeline: groups that hold privileges and cannot log in. A login is made beside them, once per host:
--
--     CREATE ROLE orders_api LOGIN PASSWORD '...' CONNECTION LIMIT 20 IN ROLE orders_writer;
--     CREATE ROLE relay_1 LOGIN REPLICATION PASSWORD '...' CONNECTION LIMIT 4 IN ROLE orders_relay;
--
-- REPLICATION is an attribute, and attributes are not inherited through membership: the relay's login must have it itself.
-- Whoever has it can read every change of the cluster, whatever its grants: guard that login like a superuser's.
--
-- Roles belong to the cluster, not to the database. Others may have made them, may be making them at this moment, and may
-- need them after this database is gone: an existing role is left as it is, and the down migration drops none.
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['orders_owner', 'orders_writer', 'orders_relay', 'pipeline_monitor'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', name);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL; -- another database's migration was faster
            END;
        END IF;
    END LOOP;
END
$$;

-- Who reaches the schema is named role by role. The migrations' own bookkeeping is readable, so that each program can
-- check that it fits the schema.
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE, CREATE ON SCHEMA public TO orders_owner;
GRANT USAGE ON SCHEMA public TO orders_writer, orders_relay, pipeline_monitor;
GRANT SELECT ON schema_migrations TO orders_writer, orders_relay, pipeline_monitor;
