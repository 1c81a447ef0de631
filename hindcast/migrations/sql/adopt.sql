-- Takes over the rows, extra columns, sequences and grants of the platform's own table, which stays beside as
-- analytics_events_before_hindcast until somebody drops it. One transaction: the platform sees before or after.
DO $$
DECLARE
    old regclass := 'analytics_events_before_hindcast'::regclass;
    extra record;
    columns_in text;
    columns_out text;
    month_start date;
    rows_before bigint;
    rows_after bigint;
BEGIN
    EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', old);
    FOR extra IN
        SELECT
            a.attname,
            format_type(a.atttypid, a.atttypmod) AS type_name,
            pg_get_expr(d.adbin, d.adrelid) AS default_value,
            pg_get_serial_sequence('analytics_events_before_hindcast', a.attname) AS sequence_name
        FROM pg_attribute AS a
        LEFT JOIN pg_attrdef AS d
            ON d.adrelid = a.attrelid AND d.adnum = a.attnum
        WHERE a.attrelid = old AND a.attnum > 0 AND NOT a.attisdropped
            AND NOT EXISTS (
                SELECT FROM pg_attribute AS n
                WHERE n.attrelid = 'analytics_events'::regclass AND n.attname = a.attname AND n.attnum > 0
            )
    LOOP
        EXECUTE format('ALTER TABLE analytics_events ADD COLUMN %I %s', extra.attname, extra.type_name);
        IF extra.default_value IS NOT NULL THEN
            EXECUTE format(
                'ALTER TABLE analytics_events ALTER COLUMN %I SET DEFAULT %s', extra.attname, extra.default_value
            );
        ELSIF extra.sequence_name IS NOT NULL THEN
            EXECUTE format(
                'ALTER TABLE analytics_events ALTER COLUMN %I SET DEFAULT nextval(%L)',
                extra.attname, extra.sequence_name
            );
        END IF;
    END LOOP;

    EXECUTE format('SELECT date_trunc(''month'', min(created_at))::date FROM %s', old) INTO month_start;
    WHILE month_start <= (SELECT date_trunc('month', max(created_at)) FROM analytics_events_before_hindcast) LOOP
        PERFORM hindcast_add_month(month_start);
        month_start := (month_start + interval '1 month')::date;
    END LOOP;

    SELECT
        string_agg(quote_ident(o.attname), ', ' ORDER BY o.attnum),
        string_agg(
            CASE
                WHEN o.attname = 'created_at' AND o.atttypid = 'timestamp'::regtype
                    THEN 'created_at AT TIME ZONE ''UTC'''
                WHEN n.atttypid = o.atttypid THEN quote_ident(o.attname)
                ELSE quote_ident(o.attname) || '::' || format_type(n.atttypid, n.atttypmod)
            END,
            ', ' ORDER BY o.attnum
        )
    INTO columns_in, columns_out
    FROM pg_attribute AS o
    INNER JOIN pg_attribute AS n
        ON n.attrelid = 'analytics_events'::regclass AND n.attname = o.attname AND n.attnum > 0
    WHERE o.attrelid = old AND o.attnum > 0 AND NOT o.attisdropped;
    EXECUTE format('INSERT INTO analytics_events (%s) SELECT %s FROM %s', columns_in, columns_out, old);

    EXECUTE format('SELECT count(*) FROM %s', old) INTO rows_before;
    SELECT count(*) INTO rows_after FROM analytics_events;
    IF rows_before <> rows_after THEN
        RAISE EXCEPTION 'adopted % of % rows', rows_after, rows_before;
    END IF;

    FOR extra IN
        SELECT g.privilege_type, coalesce(r.rolname, 'PUBLIC') AS grantee, r.rolname IS NULL AS is_public
        FROM pg_class AS c, aclexplode(c.relacl) AS g
        LEFT JOIN pg_roles AS r
            ON r.oid = g.grantee
        WHERE c.oid = old AND g.grantee <> c.relowner
    LOOP
        EXECUTE format(
            'GRANT %s ON analytics_events TO %s',
            extra.privilege_type, CASE WHEN extra.is_public THEN 'PUBLIC' ELSE quote_ident(extra.grantee) END
        );
    END LOOP;
END
$$;
