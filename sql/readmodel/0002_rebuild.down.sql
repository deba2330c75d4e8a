DROP SCHEMA IF EXISTS rebuild CASCADE;
DROP SCHEMA IF EXISTS former CASCADE;
DROP FUNCTION read_model_swap(text), read_model_move(text, text), read_model_drop(text), read_model_begin(), read_model_relations(text);
DROP TABLE cut_overs, read_models;
DROP INDEX order_timeline_position;
ALTER TABLE order_timeline DROP COLUMN data, DROP COLUMN position, DROP COLUMN record_offset, DROP COLUMN part;
DROP VIEW excluded_events;
DROP TABLE dead_letters;
