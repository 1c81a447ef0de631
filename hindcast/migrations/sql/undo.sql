-- Undo: archives of pruned rows.
SELECT 1;
