from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("identity_sync", "0013_remove_allowance")]

    operations = [
        migrations.AddField(
            "syncrun",
            "is_dry_run",
            models.BooleanField("dry run", default=False, db_default=False),
        ),
    ]
