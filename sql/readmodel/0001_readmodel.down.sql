-- The roles stay: they belong to the cluster, and the orders database's migrations use them too.
DROP VIEW revenue_minute, item_popularity, customer_stats;
DROP TABLE kitchen_board, revenue_minute_shard, item_popularity_shard, customer_stats_shard, order_timeline, order_summary,
  projection_offsets;
DO $$
BEGIN
  IF to_regclass('schema_migrations') IS NOT NULL THEN
    REVOKE SELECT ON schema_migrations FROM readmodel_projector, readmodel_reader, pipeline_monitor;
  END IF;
END
$$;
