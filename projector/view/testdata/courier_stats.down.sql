DROP VIEW courier_stats;
DROP TABLE courier_stats_shard;
DELETE FROM read_models WHERE name = 'courier_stats';
