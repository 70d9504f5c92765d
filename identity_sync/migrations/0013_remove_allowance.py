from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("identity_sync", "0012_pending_removals")]

    operations = [migrations.RemoveField(model_name="syncrun", name="allowance")]
