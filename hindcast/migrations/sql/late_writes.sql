-- Late writes: what writes to a large month of the past while that is archived takes a number here, so a rollback sees at
-- once whether anybody did. A number is taken without waiting and is never given back.
CREATE SEQUENCE hindcast_late_writes;
COMMENT ON SEQUENCE hindcast_late_writes IS 'taken from by writes to a month that is being archived';

CREATE FUNCTION hindcast_note_late_write() RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = public, pg_temp
AS $$
BEGIN
    PERFORM nextval('hindcast_late_writes');
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION hindcast_note_late_write() IS 'of triggers that Hindcast makes on a month, and drops, while it archives it';
