DROP TABLE relay_pauses;
