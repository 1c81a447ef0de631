-- Manners: what the governor decided, kept exports.
SELECT 1;
