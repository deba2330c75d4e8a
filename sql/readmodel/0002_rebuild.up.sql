-- Dead letters, an order's timeline with what happened in it, and the means to make the read model anew beside the live one.

-- What could not be applied, and what queues behind it: rows that no column of the read model counts. An order with a waiting
-- letter is blocked: its later events become letters too, so that its order is kept. In the transaction of the offset (I8).
CREATE TABLE dead_letters (
  topic         text        NOT NULL,
  part          integer     NOT NULL,
  record_offset bigint      NOT NULL,
  order_id      uuid,                 -- NULL: the record's key is no order's; it blocks nobody
  version       bigint,               -- NULL: cannot be read
  reason        text        NOT NULL,
  error         text        NOT NULL, -- for people
  state         text        NOT NULL DEFAULT 'waiting',
  key           bytea,                -- the record as it was read, from here to recorded_at: a topic may have lost it
  value         bytea,
  headers       jsonb       NOT NULL, -- [[name, value or null], ...] in their order, both in base64
  recorded_at   timestamptz NOT NULL, -- the record's timestamp
  parked_at     timestamptz NOT NULL DEFAULT now(), -- by the clock, as settled_at
  settled_at    timestamptz,          -- when it was redriven or discarded
  note          text,                 -- why it was discarded
  CONSTRAINT dead_letters_pkey PRIMARY KEY (topic, part, record_offset),
  CONSTRAINT dead_letters_reason_known CHECK (reason IN ('undecodable', 'unknown_type', 'hole', 'rule', 'behind')),
  CONSTRAINT dead_letters_state_known CHECK (state IN ('waiting', 'redriven', 'discarded')),
  CONSTRAINT dead_letters_settled CHECK ((state = 'waiting') = (settled_at IS NULL)),
  CONSTRAINT dead_letters_discarded_with_a_note CHECK (state <> 'discarded' OR note <> '')
);

-- Looked at by each batch that makes a letter, and once a second to count: it holds only what blocks.
CREATE INDEX dead_letters_waiting ON dead_letters (order_id, topic, part) WHERE state = 'waiting';

-- What the read model does not count, by partition: events that could not be applied and those behind them. An answer with a sum
-- says so.
CREATE VIEW excluded_events AS
SELECT topic, part, count(*) AS events, count(DISTINCT order_id) FILTER (WHERE state = 'waiting') AS blocked_orders
FROM dead_letters
WHERE state <> 'redriven'
GROUP BY topic, part;

-- NULL in rows that were written before: projector rebuild writes them again.
ALTER TABLE order_timeline
  ADD COLUMN part          integer,
  ADD COLUMN record_offset bigint, -- with part, where the event is in the topic; below 0 the seq of one that was loaded out of the outbox
  ADD COLUMN position      bigint, -- n for the n-th event that was applied in the partition; projection_offsets.applied_events is the last
  ADD COLUMN data          json;   -- its payload

-- Changes in the order in which they were applied, for those who follow them: rows are only ever added at a partition's end, also
-- those of events that were dead letters for a while, whose offsets lie behind.
CREATE INDEX order_timeline_position ON order_timeline (part, position);

-- The read models that these tables hold. A projector that does not know one of them must not move the offsets; one that is not
-- here is not written, since it would lack what came before.
CREATE TABLE read_models (
  name text NOT NULL,
  CONSTRAINT read_models_pkey PRIMARY KEY (name)
);
INSERT INTO read_models
VALUES ('order_summary'), ('order_timeline'), ('customer_stats'), ('item_popularity'), ('revenue_minute'), ('kitchen_board');

-- What has been live, and from which offsets on.
CREATE TABLE cut_overs (
  at      timestamptz NOT NULL DEFAULT now(),
  what    text        NOT NULL,
  offsets jsonb       NOT NULL, -- by topic and partition, of the tables that became live
  CONSTRAINT cut_overs_what_known CHECK (what IN ('cut over', 'roll back'))
);

GRANT SELECT, INSERT, UPDATE ON dead_letters TO readmodel_projector;
GRANT SELECT, INSERT ON read_models TO readmodel_projector;
GRANT SELECT ON dead_letters, excluded_events, read_models, cut_overs TO readmodel_reader, readmodel_projector;
GRANT SELECT ON dead_letters, excluded_events, cut_overs TO pipeline_monitor;

-- The tables of the read model, and their views, are in public while they are live, in rebuild while they are being made, in
-- former after they have been live. A table is told by its name; those that are moved are all but
-- these two and what belongs to an extension.
CREATE FUNCTION read_model_relations(place text) RETURNS TABLE (relation oid, name text, kind "char")
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT c.oid, c.relname, c.relkind
  FROM pg_class c
  WHERE c.relnamespace = to_regnamespace(quote_ident(place)) AND c.relkind IN ('r', 'v')
    AND c.relname NOT IN ('schema_migrations', 'cut_overs')
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e') -- an extension's
$$;

-- Of those that run with their owner's rights, pg_temp is last on the path: a caller's temporary table would be found first otherwise.

-- read_model_begin makes the schema rebuild with empty tables as the live ones are: columns, constraints, indexes, settings, grants.
CREATE FUNCTION read_model_begin() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  r record;
  g record;
BEGIN
  CREATE SCHEMA rebuild;
  GRANT USAGE ON SCHEMA rebuild TO readmodel_projector;
  FOR r IN SELECT relation, name, (SELECT reloptions FROM pg_class WHERE oid = relation) AS options
           FROM public.read_model_relations('public') WHERE kind = 'r' ORDER BY name LOOP
    EXECUTE format('CREATE TABLE rebuild.%I (LIKE public.%1$I INCLUDING ALL)', r.name);
    IF r.options IS NOT NULL THEN
      EXECUTE format('ALTER TABLE rebuild.%I SET (%s)', r.name, array_to_string(r.options, ', '));
    END IF;
  END LOOP;
  FOR r IN SELECT relation, name FROM public.read_model_relations('public') WHERE kind = 'v' ORDER BY name LOOP
    PERFORM set_config('search_path', 'public, pg_temp', true); -- so that the definition names no schema
    SELECT pg_get_viewdef(r.relation) AS text INTO g;
    PERFORM set_config('search_path', 'rebuild, pg_temp', true);
    EXECUTE format('CREATE VIEW rebuild.%I AS %s', r.name, g.text);
    PERFORM set_config('search_path', 'pg_catalog, pg_temp', true);
  END LOOP;
  FOR r IN SELECT n.name, a.privilege_type, a.grantee::regrole AS role
           FROM public.read_model_relations('public') n JOIN pg_class c ON c.oid = n.relation, aclexplode(c.relacl) a
           WHERE a.grantee <> c.relowner AND a.grantee <> 0 LOOP
    EXECUTE format('GRANT %s ON rebuild.%I TO %s', r.privilege_type, r.name, r.role);
  END LOOP;
END
$$;

-- read_model_drop drops the tables that are being made, or those that were live.
CREATE FUNCTION read_model_drop(place text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF place NOT IN ('rebuild', 'former') THEN
    RAISE EXCEPTION 'read_model_drop: % is not rebuild or former', quote_literal(place);
  END IF;
  EXECUTE format('DROP SCHEMA IF EXISTS %I CASCADE', place);
END
$$;

-- read_model_move gives a schema's relations to another, which has none of those names.
CREATE FUNCTION read_model_move(place text, target text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  r record;
BEGIN
  FOR r IN SELECT name, kind FROM public.read_model_relations(place) ORDER BY name LOOP
    EXECUTE format('ALTER %s %I.%I SET SCHEMA %I', CASE r.kind WHEN 'v' THEN 'VIEW' ELSE 'TABLE' END, place, r.name, target);
  END LOOP;
END
$$;
REVOKE ALL ON FUNCTION read_model_move(text, text) FROM PUBLIC;

-- read_model_swap makes the tables of place live, in the caller's transaction, and the live ones former. The tables that were
-- former are dropped for those of rebuild. The caller holds both projection_offsets. It returns the time that cut_overs has for it.
CREATE FUNCTION read_model_swap(place text) RETURNS timestamptz
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  differing text;
BEGIN
  IF place NOT IN ('rebuild', 'former') OR to_regnamespace(place) IS NULL THEN
    RAISE EXCEPTION 'read_model_swap: there is no read model in %', quote_literal(place);
  END IF;
  SELECT string_agg(coalesce(l.name, o.name), ', ') INTO differing
  FROM public.read_model_relations('public') l FULL JOIN public.read_model_relations(place) o USING (name, kind)
  WHERE l.name IS NULL OR o.name IS NULL;
  IF differing IS NOT NULL THEN
    RAISE EXCEPTION 'read_model_swap: public and % do not have the same tables and views: %', place, differing
      USING HINT = 'A migration came between. Drop what is in ' || place || ': projector rebuild discard, or drop-former.';
  END IF;
  IF place = 'former' THEN
    ALTER SCHEMA former RENAME TO swapped;
  ELSE
    DROP SCHEMA IF EXISTS former CASCADE;
    ALTER SCHEMA rebuild RENAME TO swapped;
  END IF;
  CREATE SCHEMA former;
  GRANT USAGE ON SCHEMA former TO readmodel_projector;
  PERFORM public.read_model_move('public', 'former');
  PERFORM public.read_model_move('swapped', 'public');
  DROP SCHEMA swapped;
  -- Whoever owned a partition is fenced, and is told why, so that it claims it again at once.
  UPDATE public.projection_offsets SET owner = 'cut over', owner_epoch = owner_epoch + 1, claim = gen_random_uuid();
  UPDATE former.projection_offsets SET owner = 'cut over', owner_epoch = owner_epoch + 1, claim = gen_random_uuid();
  INSERT INTO public.cut_overs (what, offsets)
  SELECT CASE place WHEN 'former' THEN 'roll back' ELSE 'cut over' END,
         coalesce(jsonb_object_agg(topic, parts), '{}')
  FROM (SELECT topic, jsonb_object_agg(part, next_offset) AS parts FROM public.projection_offsets GROUP BY topic) AS o;
  RETURN now();
END
$$;

DO $$
DECLARE
  f text;
BEGIN
  FOREACH f IN ARRAY ARRAY['read_model_begin()', 'read_model_drop(text)', 'read_model_swap(text)'] LOOP
    EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', f);
    EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO readmodel_projector', f);
  END LOOP;
END
$$;
